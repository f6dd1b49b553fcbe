"""`python -m twin_app` is `twin`."""

from twin_app.cli import main

main()
