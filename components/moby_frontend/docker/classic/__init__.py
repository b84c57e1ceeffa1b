"""Building by one call, `POST /build`: an archive in, lines of JSON out, as before BuildKit."""
