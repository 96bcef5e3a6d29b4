"""What sending a parcel costs, over HTTP."""
