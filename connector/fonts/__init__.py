"""The fonts of the PDFs: those of every PDF reader, and embedded ones for letters that they lack."""
