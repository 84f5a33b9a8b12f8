package awserr

import "strings"

// IsBusy says that something else is going on with the thing named, such as a
// scaling activity or another update: the same call may be sent again.
func IsBusy(err error) bool {
	switch Code(err) {
	case "ResourceContention", "ResourceContentionFault", "ScalingActivityInProgress", "ConcurrentModification", "OperationInProgress":
		return true
	}
	return false
}

// IsPassing says that a look told nothing and may well succeed the next time: AWS
// was too busy, or no whole answer came. What AWS refuses is not passing.
func IsPassing(err error) bool { return IsThrottle(err) || IsLost(err) }

// IsUnseen says that a call leans on something that AWS does not see, which
// may be because it was made a moment ago. Auto Scaling has no code for that,
// but words in a ValidationError.
func IsUnseen(err error) bool {
	if IsNotFound(err) {
		return true
	}
	if Code(err) != "ValidationError" {
		return false
	}
	words := strings.ToLower(err.Error())
	return strings.Contains(words, "not found") || strings.Contains(words, "does not exist")
}

// IsRefreshing says that AWS refuses a change of how a group launches because
// an instance refresh with a configuration of its own is under way. There is
// no code for that either.
func IsRefreshing(err error) bool {
	return Code(err) == "InstanceRefreshInProgress" || Code(err) == "ValidationError" && strings.Contains(strings.ToLower(err.Error()), "active instance refresh")
}
