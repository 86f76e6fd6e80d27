"""What the script of a page does: the values that it reads out, what it paints, sorts, finds and plays."""

import base64
import io
import wave

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from tests.browser.visits import PHONE_PX
from toolkit.reporting import drawing, explorer, render

N_FRAMES = 16
TIME = (np.arange(N_FRAMES) + 0.5) / 4
BINS = {"mel": 125.0 * 2 ** np.arange(8), "cqt": 100.0 * 2 ** np.arange(6)}
NAMES = {"mel": "mel spectrogram", "cqt": "constant-Q spectrogram"}
LIMIT = 4e-3
PEAK = (4, 9)
"""Bin and frame: 2 kHz, 2.375 s by mel."""
RELEVANCE = (0.05, 0.1, 0.4, 0.8)
PROFILE = (0.5, 0.1, 0.2, 0.8)
"""Boxes of panels in the picture."""
BAR = (0.46, 0.1, 0.03, 0.8)
"""Box of the colour bar of relevance."""
STEP = 4
"""A map has 127 steps to either side; one moves a channel of its colour by at most so much of 255."""
WHITE = np.array([255, 255, 255])

PAGE = """{% extends "base.html.j2" %}{% import "explorer.html.j2" as explorer %}{% set current = none %}
{% block title %}Maps{% endblock %}{% block pages %}<li><a href="#top">Maps</a></li>{% endblock %}
{% block footer %}<p>Made up.</p>{% endblock %}
{% block content %}<h1 id="top">Maps</h1>
{% set players %}<div class="listen">{% for name in ("original", "kept") %}
<audio controls preload="none" src="{{ sound }}" data-explorer="mel/lrp.epsilon" data-start="1"
data-group="clip" aria-label="{{ name }}"></audio>{% endfor %}</div>{% endset %}
{% call explorer.chooser() %}{% for key in keys %}
{% call explorer.figure(key, image, "Map " ~ key, players if loop.first else "") %}By {{ key }}.{% endcall %}
{% endfor %}{% endcall %}
{{ explorer.search("bands", "Search bands") }}
<div class="scroll"><table class="sortable" id="bands"><caption>Bands</caption><thead><tr>
{% for name in ("Band", "Share", "Ratio", "p") %}<th scope="col">{{ name }}</th>{% endfor %}
</tr></thead><tbody>
{% for row in rows %}<tr><th scope="row">{{ row[0] }}</th>
{% for cell in row[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
<details><summary>More</summary><p id="folded">Folded away.</p></details>
{{ explorer.data(block) }}{% endblock %}"""

ROWS = (
    ("125-250 Hz", "9 %", "1.2 x", "p < 0.001"),
    ("500-1000 Hz", "12 %", "–", "0.001"),
    ("1-2 kHz", "110 %", "−0.5 x", "0.20"),
)


def explorable(representation: str, composite: str) -> explorer.Explorable:
    frequency = BINS[representation]
    n_bins = len(frequency)
    relevance = np.zeros((n_bins, N_FRAMES))
    relevance[PEAK], relevance[1, 2] = LIMIT, -LIMIT / 4
    rows = 1 - (np.arange(n_bins) + 0.5) / n_bins
    ratio = np.where(np.arange(n_bins) == PEAK[0], 2.0, 0.5)
    p = np.where(np.arange(n_bins) == PEAK[0], 0.004, np.nan)
    return explorer.Explorable(
        representation=representation,
        composite=composite,
        frequency=frequency,
        time=TIME,
        panels=[
            explorer.Panel(RELEVANCE, "relevance", rows, limit=LIMIT, bar=BAR),
            explorer.Panel(PROFILE, "profile:input", rows, x=(-2.0, 2.0)),
        ],
        folds={"all": relevance, "1": relevance, "10": -relevance},
        n_recordings={"all": 12, "1": 7, "10": 5},
        level=np.full((n_bins, N_FRAMES), -23.0),
        profile={"input": explorer.Profile(ratio, ratio / 2, ratio * 2, p)},
        recorded_until_s=3.5,
    )


def sound() -> str:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(2 * 8000 * 3))
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    shown = {
        f"{kind}/{composite}": explorable(kind, composite)
        for kind in BINS
        for composite in ("lrp.epsilon", "lrp.z")
    }
    page = render.template("base.html.j2").environment.from_string(PAGE)
    file = tmp_path_factory.mktemp("maps") / "page.html"
    text = page.render(
        keys=list(shown),
        image=render.image(drawing.new_figure(1000 / 110, 400 / 110)),
        sound=sound(),
        rows=ROWS,
        block=explorer.data_block(explorer.payload(shown)),
        **render.shared(),
    )
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def opened(open_page, path):
    visited = open_page(path)
    yield visited
    assert visited.messages == []


@pytest.fixture
def page(opened):
    return opened.page


def panel(page, figure: int = 0, number: int = 0):
    return page.locator("figure.maps").nth(figure).locator(".panel").nth(number)


def point_at(page, cell: tuple[int, int], n_bins: int = 8) -> None:
    """Put the mouse on a cell of the first figure's relevance."""
    box = panel(page).bounding_box()
    row, column = cell
    x = box["x"] + box["width"] * (column + 0.5) / N_FRAMES
    page.mouse.move(x, box["y"] + box["height"] * (1 - (row + 0.5) / n_bins))


def readout(page, figure: int = 0) -> str:
    return page.locator(".readout").nth(figure).text_content()


def pixel(page, cell: tuple[int, int], n_bins: int = 8) -> np.ndarray:
    """Return the colour that is painted in the middle of a cell of the first figure."""
    row, column = cell
    address = panel(page).locator("canvas").evaluate("canvas => canvas.toDataURL()")
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
    x, y = (column + 0.5) / N_FRAMES, 1 - (row + 0.5) / n_bins
    return np.array(picture.getpixel((int(x * picture.width), int(y * picture.height))))


def drawn(share: float) -> np.ndarray:
    """Return the colour that matplotlib gives to a share of the limit."""
    return np.array(colormaps["RdBu_r"]((share + 1) / 2, bytes=True)[:3]).astype(int)


def faded(colour: np.ndarray) -> np.ndarray:
    return 0.3 * colour + 0.7 * WHITE


def test_page__is_whole_without_the_script(open_page, path):
    page = open_page(path, script=False).page
    assert page.locator("figure.maps img:visible").count() == 4
    assert page.locator("select, input, .theme:visible, th button").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [1280, PHONE_PX])
def test_page__is_accessible_with_its_controls(open_page, path, width_px, scheme):
    visited = open_page(path, width_px=width_px, scheme=scheme)
    visited.page.get_by_label("Layer").select_option("contrast:input")
    visited.page.locator(".overlay").first.focus()
    assert visited.violations() == []
    assert visited.overhang_px() == 0
    assert visited.messages == []


def test_hover__reads_frequency_time_values_and_interval(page):
    point_at(page, PEAK)
    assert readout(page) == (
        "2 kHz, 2.38 s: relevance 4.0 x 10⁻³; level −23 dB; 2.0 x input (1.00 to 4.0, p = 0.004)"
    )
    point_at(page, (1, 2))
    assert readout(page) == (
        "250 Hz, 0.63 s: relevance −1.0 x 10⁻³; level −23 dB; 0.50 x input "
        "(0.25 to 1.00, in no certain cluster)"
    )
    point_at(page, (0, 15))
    assert readout(page).startswith("125 Hz, 3.88 s (padding): relevance 0.00 x 10⁻³;")


def test_hover__moves_the_cursor_of_every_figure(page):
    point_at(page, PEAK)
    # 2 kHz lies nearest to the 1.6 kHz of the other representation, at the same time.
    assert readout(page, 2).startswith("1.6 kHz, 2.38 s:")
    across, upright = (
        panel(page, 2).locator(line).evaluate("node => node.style.cssText") for line in (".across", ".upright")
    )
    assert (across, upright) == ("top: 25%;", "left: 59.375%;")
    page.mouse.move(1, 1)
    assert readout(page) == ""
    assert page.locator(".across:visible").count() == 0


def test_hover__of_a_profile_points_at_its_ratio(page):
    box = panel(page, 0, 1).bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] * (1 - (PEAK[0] + 0.5) / 8))
    assert readout(page) == "2 kHz: 2.0 x input (1.00 to 4.0, p = 0.004)"
    assert panel(page, 0, 1).locator(".upright").evaluate("node => node.style.left") == "75%"
    assert not panel(page).locator(".upright").is_visible()


def test_keyboard__moves_the_cursor_by_cells(page):
    page.locator(".overlay").first.focus()
    assert readout(page).startswith("2 kHz, 2.38 s: relevance 4.0")
    for key, place in (
        ("ArrowUp", "4 kHz, 2.38 s"),
        ("ArrowRight", "4 kHz, 2.63 s"),
        ("ArrowDown", "2 kHz, 2.63 s"),
        ("ArrowLeft", "2 kHz, 2.38 s"),
        ("End", "2 kHz, 3.88 s (padding)"),
        ("ArrowRight", "2 kHz, 3.88 s (padding)"),
        ("Home", "2 kHz, 0.13 s"),
    ):
        page.keyboard.press(key)
        assert readout(page).partition(":")[0] == place
    assert page.locator(".readout").first.get_attribute("aria-live") == "polite"
    page.keyboard.press("Escape")
    assert readout(page) == ""
    assert page.evaluate("document.activeElement === document.body")


def test_choosers__show_the_figures_that_are_wanted(page):
    def visible() -> list[str]:
        shown = page.locator("figure.maps:visible").all()
        return [figure.get_attribute("data-explorer") for figure in shown]

    assert visible() == ["mel/lrp.epsilon", "cqt/lrp.epsilon"]
    page.get_by_label("Composite").select_option("lrp.z")
    assert visible() == ["mel/lrp.z", "cqt/lrp.z"]
    page.get_by_label("Representation").select_option(label=NAMES["cqt"])
    assert visible() == ["cqt/lrp.z"]
    page.get_by_label("Composite").select_option(label="all")
    assert visible() == ["cqt/lrp.epsilon", "cqt/lrp.z"]


def test_fold__is_painted_with_the_colours_of_the_figure(page):
    canvas = panel(page).locator("canvas")
    assert not canvas.is_visible()
    page.get_by_label("Fold").select_option("10")
    assert canvas.is_visible()
    np.testing.assert_array_equal(pixel(page, PEAK), drawn(-1))
    np.testing.assert_allclose(pixel(page, (1, 2)), drawn(0.25), atol=STEP)
    assert readout(page) == "Shown: relevance of fold 10 with 5 recordings, all else of all folds."
    point_at(page, PEAK)
    assert "relevance −4.0 x 10⁻³ in fold 10" in readout(page)
    page.get_by_label("Fold").select_option("all")
    assert not canvas.is_visible()


def test_fold__options_are_in_order(page):
    assert page.get_by_label("Fold").locator("option").all_text_contents() == ["all", "1", "10"]


def test_layer__fades_what_is_not_certain(page):
    page.get_by_label("Layer").select_option("certain:input")
    np.testing.assert_array_equal(pixel(page, PEAK), drawn(1))
    np.testing.assert_allclose(pixel(page, (1, 2)), faded(drawn(-0.25)), atol=1)


def test_layer__shows_the_ratio_of_every_bin(page):
    page.get_by_label("Layer").select_option("contrast:input")
    # A ratio of 2 is half way to the end of the colours, which is 4.
    np.testing.assert_array_equal(pixel(page, (PEAK[0], 0)), drawn(0.5))
    np.testing.assert_array_equal(pixel(page, (1, 8)), drawn(-0.5))


def test_scale__of_ratios_covers_the_colour_bar_of_relevance(page):
    scale = page.locator(".scale").first
    assert not scale.is_visible()
    page.get_by_label("Layer").select_option("contrast:input")
    assert scale.is_visible()
    assert scale.inner_text().split() == ["4", "1", "1/4", "ratio", "to", "input"]
    box, sheet = scale.bounding_box(), page.locator(".sheet").first.bounding_box()
    assert (box["x"] - sheet["x"]) / sheet["width"] == pytest.approx(BAR[0], abs=0.01)
    assert box["height"] / sheet["height"] == pytest.approx(BAR[3], abs=0.01)
    colours = scale.locator("canvas").evaluate(
        """bar => {
            const { data } = bar.getContext("2d").getImageData(0, 0, 1, 256);
            return [0, 128, 255].map(y => [...data.slice(4 * y, 4 * y + 3)]);
        }"""
    )
    np.testing.assert_allclose(colours, [drawn(1), drawn(0), drawn(-1)], atol=STEP)
    point_at(page, PEAK)
    assert readout(page).startswith("2 kHz, 2.38 s: ")
    assert readout(page).endswith(". Shown: ratio to input (all folds), from 1/4 (blue) to 4 (red).")
    page.get_by_label("Layer").select_option("certain:input")
    assert not scale.is_visible()


def test_threshold__fades_what_lies_below_a_share_of_the_largest(page):
    slider = page.get_by_label("Fade below")
    slider.fill("20")
    np.testing.assert_allclose(pixel(page, (1, 2)), drawn(-0.25), atol=STEP)
    slider.fill("30")
    np.testing.assert_allclose(pixel(page, (1, 2)), faded(drawn(-0.25)), atol=1)
    np.testing.assert_array_equal(pixel(page, PEAK), drawn(1))
    assert readout(page) == "Shown: cells below 30 % of the largest relevance faded."


@pytest.mark.parametrize(
    ("column", "order"),
    [("Band", [0, 1, 2]), ("Share", [0, 1, 2]), ("Ratio", [2, 0, 1]), ("p", [0, 1, 2])],
)
def test_tables__are_sorted_by_number_with_dashes_last(page, column, order):
    button = page.get_by_role("button", name=column, exact=True)
    bands = page.locator("#bands tbody th")
    named = [ROWS[place][0] for place in order]
    button.click()
    assert bands.all_text_contents() == named
    button.press("Enter")
    falling = [name for name in reversed(named) if name != ROWS[1][0]] if column == "Ratio" else named[::-1]
    assert bands.all_text_contents()[: len(falling)] == falling
    assert page.locator("th[aria-sort]").evaluate_all("heads => heads.map(head => head.ariaSort)") == [
        "descending"
    ]


def test_search__keeps_the_rows_that_hold_every_word(page):
    field = page.get_by_label("Search bands")
    field.fill("khz 0.2")
    assert page.locator("#bands tbody tr:visible th").all_text_contents() == ["1-2 kHz"]
    assert page.locator(".search output").text_content() == "1 of 3 shown"
    field.fill("")
    assert page.locator("#bands tbody tr:visible").count() == 3


def test_theme__overrides_what_the_system_prefers_and_is_kept(page):
    def paper() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    button = page.locator("button.theme")
    light = paper()
    assert button.text_content() == "Colours: auto"
    button.click()
    assert (button.text_content(), paper()) == ("Colours: light", light)
    button.click()
    assert button.text_content() == "Colours: dark"
    dark = paper()
    assert dark != light
    page.reload()
    assert paper() == dark
    page.emulate_media(media="print")
    assert paper() == light


@pytest.mark.parametrize("script", [True, False])
def test_print__has_everything_open_and_no_controls(open_page, path, script):
    page = open_page(path, script=script).page
    assert not page.locator("#folded").is_visible()
    page.emulate_media(media="print")
    assert page.locator("#folded").bounding_box()["height"] > 0
    assert page.locator("#folded").evaluate("node => node.checkVisibility({ contentVisibilityAuto: true })")
    assert page.locator("figure.maps:visible").count() == 4
    assert (
        page.locator("select:visible, input:visible, button.theme:visible, audio:visible, nav:visible").count()
        == 0
    )


def test_print__closes_again_what_was_closed(page):
    for event, is_open in (("beforeprint", True), ("afterprint", False)):
        page.evaluate(f"dispatchEvent(new Event('{event}'))")
        assert page.locator("details").evaluate("node => node.open") == is_open


def start(page, name: str) -> None:
    """Press a player's own button."""
    page.get_by_label(name, exact=True).click(position={"x": 25, "y": 27})


def wait_until_at(page, player: int, s: float) -> None:
    """Wait for a player to reach a time; the page's policy forbids Playwright's own way of waiting."""
    page.locator("audio").nth(player).evaluate(
        """(audio, s) => new Promise((resolve) => {
            const look = () => audio.currentTime > s && resolve();
            audio.addEventListener("timeupdate", look);
            look();
        })""",
        s,
    )


def state(page) -> list[tuple[bool, float]]:
    return [
        tuple(each)
        for each in page.locator("audio").evaluate_all("list => list.map(a => [a.paused, a.currentTime])")
    ]


def test_players__are_silent_until_asked(page):
    assert all(is_paused for is_paused, _ in state(page))
    assert page.locator("audio[autoplay]").count() == 0


def test_players__take_turns_and_go_on_where_the_other_stood(page):
    start(page, "original")
    wait_until_at(page, 0, 1)
    start(page, "kept")
    wait_until_at(page, 1, 0)
    (first_is_paused, first_s), (second_is_paused, second_s) = state(page)
    assert (first_is_paused, second_is_paused) == (True, False)
    assert first_s >= 1
    assert second_s >= first_s - 0.01  # media clocks are told in steps


def test_players__move_a_line_over_the_map(page):
    page.locator("audio").first.evaluate("audio => { audio.currentTime = 1.5 }")
    start(page, "original")
    wait_until_at(page, 0, 1.5)
    page.locator("audio").first.evaluate(
        "audio => new Promise(resolve => { audio.addEventListener('pause', resolve); audio.pause(); })"
    )
    assert page.locator(".heard .playhead").first.is_visible()
    (_, at_s), _ = state(page)
    left = page.locator(".playhead").first.evaluate("node => parseFloat(node.style.left)")
    assert left == pytest.approx(100 * (1 + at_s) / 4, abs=1)
    assert page.locator(".heard").count() == 1


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_map__sends_the_player_to_the_time_that_is_pointed_at(page, by):
    if by == "mouse":
        point_at(page, PEAK)
        page.mouse.down()
        page.mouse.up()
    else:
        page.locator(".overlay").first.focus()
        page.keyboard.press("Enter")
    # The sound begins 1 s after the map.
    (is_paused, at_s), _ = state(page)
    assert is_paused
    assert at_s == pytest.approx(2.375 - 1, abs=0.05)
    assert page.locator(".playhead").first.evaluate("node => parseFloat(node.style.left)") == pytest.approx(
        100 * 2.375 / 4, abs=1
    )


def test_players__share_their_loudness(page):
    first, second = page.locator("audio").all()
    second.evaluate(
        """(audio) => {
            window.heard = new Promise(resolve => audio.addEventListener("volumechange", resolve));
        }"""
    )
    first.evaluate("audio => { audio.volume = 0.25; return window.heard; }")
    assert second.evaluate("audio => audio.volume") == 0.25
