"""How a run is computed: the work on one picture, in this process, in others, or on Ray."""
