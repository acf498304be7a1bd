"""radloop from Python: what `import radloop` offers. Each name is loaded when it is first used."""
