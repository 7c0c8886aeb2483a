"""Who may ask, how much and how long: keys, queue, bodies, connections; nothing is answered here."""
