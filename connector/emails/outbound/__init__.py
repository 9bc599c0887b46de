"""The emails that are sent: facts, texts, layout, attachments."""
