"""The files that the reference writes of an image, made once more."""
