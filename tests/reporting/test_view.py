"""Names of pages."""

from toolkit.reporting.view import page_files


def test_page_files__keep_letters_digits_underscore_and_hyphen():
    assert page_files(["dog_bark", "Gun-Shot 2", "a/b", "été"]) == {
        "dog_bark": "dog_bark.html",
        "Gun-Shot 2": "Gun-Shot_2.html",
        "a/b": "a_b.html",
        "été": "_t_.html",
    }


def test_page_files__never_collide_with_each_other_or_the_index():
    files = page_files(["a b", "a/b", "a_b", "index", "..", ""])
    assert len(set(files.values())) == 6
    assert "index.html" not in files.values()
    assert all(not name.startswith(".") for name in files.values())
