"""DICOM: how a file becomes a picture and a pseudonym, and how results become a report. Needs `radloop[dicom]`."""
