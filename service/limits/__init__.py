"""Who may ask, how much, and for how long: keys, places in the queue, bodies, connections."""
