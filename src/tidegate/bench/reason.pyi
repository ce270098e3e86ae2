"""Why something failed, beyond its class."""
