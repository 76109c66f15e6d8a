"""From one serving mode to another: what it takes, what it costs, what clients notice, and the edit itself."""
