"""The workflow's own code: configuration, naming, tables and figures. Neither solver nor network."""
