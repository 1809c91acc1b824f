"""How a host program runs the loop fast: staged steps, exploration drawn ahead, one compiled call for learning and deciding."""
