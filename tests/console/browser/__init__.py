"""The console in a browser.  A package, so that what all its tests share ends with them."""
