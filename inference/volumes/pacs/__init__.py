"""A hospital's archive (PACS) over DICOMweb: find PET series, fetch them, store what was found in them.

requests and dicomweb-client are imported with the first command that needs them, and never by the service.
"""
