"""The annotator: a session of labelling, its journal, its proposals, and the widget over it."""
