"""What crosses the sides: frozen dataclasses and names, no behaviour. Every side may import it."""
