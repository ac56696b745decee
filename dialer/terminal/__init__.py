"""An agent's desk on a terminal, on top of the WebSocket the web desk uses."""
