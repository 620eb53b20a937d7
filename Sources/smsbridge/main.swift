print("smsbridge")
