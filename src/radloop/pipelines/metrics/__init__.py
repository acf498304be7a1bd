"""The parts of `pipelines.exposing`: what is looked at, what Prometheus is told of it, and the server that tells it."""
