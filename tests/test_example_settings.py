"""The example file is the documentation of the settings, so it has to be right."""

from pathlib import Path

from toolkit.config import Settings, read_toml, resolve

EXAMPLE = Path(__file__).parents[1] / "toolkit.toml.example"


def test_example__holds_the_defaults():
    assert resolve({"example": read_toml(EXAMPLE)}) == Settings()


def test_example__names_every_setting():
    text = EXAMPLE.read_text()
    for section, field in Settings.model_fields.items():
        for name in getattr(field.annotation, "model_fields", {section: None}):
            assert section == "source" or f"{name} =" in text, f"{section}.{name}"
