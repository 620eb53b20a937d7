/// A reference that its object takes back when it goes, for closures that a loop may still call then.
///
/// What `weak` is for, but for its price: an object with a weak reference keeps its counts in a table beside it, and each of
/// its retains and releases takes the long way there. On the path of an event that is some hundred instructions.
///
/// The object sets `owner` in its initialiser, and to nil in its `deinit`, on the loop's thread.
package final class OwnerReference<Owner: AnyObject> {
    package unowned(unsafe) var owner: Owner?

    package init() {}
}
