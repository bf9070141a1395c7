"""Small applications for XTCP; `xtcp.toml` serves them all."""
