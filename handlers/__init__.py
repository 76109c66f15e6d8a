"""What runs in AWS Lambda: entries here, decisions in `logic`, AWS services in `adapters`, agreements in `contract`."""
