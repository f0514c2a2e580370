"""Crystal, detector, beam, structure factors and the factors of the intensity: tensors in, tensors out."""
