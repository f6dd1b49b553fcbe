"""The running product: settings, composition root, REST, page, command line, scene process."""
