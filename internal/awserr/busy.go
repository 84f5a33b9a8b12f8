package awserr

// IsBusy says that something else is going on with the thing named, such as a
// scaling activity or another update: the same call may be sent again.
func IsBusy(err error) bool {
	switch Code(err) {
	case "ResourceContention", "ResourceContentionFault", "ScalingActivityInProgress", "ConcurrentModification", "OperationInProgress":
		return true
	}
	return false
}
