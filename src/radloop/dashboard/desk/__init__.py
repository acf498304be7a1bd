"""The radiologist's desk: an ES module of radloop's own, in the browser, and what the server says to it."""
