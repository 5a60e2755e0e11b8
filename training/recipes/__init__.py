"""Bundled recipes, one TOML file each. A new file is found by being here."""
