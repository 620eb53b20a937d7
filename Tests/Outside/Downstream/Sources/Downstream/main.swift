import SMSPortalEvents

print("decoded")
