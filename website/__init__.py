"""What ``mkdocs.yml`` needs to build the documentation site: one file for each thing that a page is given."""
