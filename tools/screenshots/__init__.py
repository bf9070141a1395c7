"""The pictures of the console in docs/images: the scene, its load, and the camera."""
