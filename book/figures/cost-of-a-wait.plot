idle
