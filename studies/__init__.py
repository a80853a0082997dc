"""What real panels show: each study reads a folder or file of bars that is not part of the project."""
