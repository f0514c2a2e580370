"""nanoBragg in PyTorch: X-ray diffraction from nanocrystals, vectorised and differentiable."""
