"""The version that users see; pyproject.toml names the same one."""

VERSION = "0.1.0"
