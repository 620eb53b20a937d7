// A service imports one module: the event types come with the consumer.
@_exported public import SMSPortalEvents
