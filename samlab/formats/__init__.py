"""Other people's files: labelled pictures in, segments out."""
