"""Classes from labelled boxes: what needs labels, SAM and the latent space together."""
