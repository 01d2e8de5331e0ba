"""The stand-in of the 64 providers: fed from the catalogue, it speaks each one's OAuth and answers each one's verify request."""
