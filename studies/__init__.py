"""What real panels show: each study reads bars that are not part of the project."""
