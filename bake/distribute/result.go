package distribute

// Copy is an image as it stands in another region.
type Copy struct {
	Region    string   `json:"region"`
	ImageID   string   `json:"image_id,omitempty"`
	Snapshots []string `json:"snapshots,omitempty"`
	KMSKey    string   `json:"kms_key,omitempty"` // as it was asked for; empty: not encrypted by the copy
	Existing  bool     `json:"existing,omitempty"`
	Seconds   float64  `json:"seconds"`
	Error     string   `json:"error,omitempty"` // why there is no copy
}

// Share is what was given to others in one region.
type Share struct {
	Region  string `json:"region"`
	ImageID string `json:"image_id"`
	Audience
	Snapshots []string `json:"snapshots,omitempty"` // given to the accounts
	// Added lists those of the audience who did not have the image before.
	Added []string `json:"added"`
	// Notes say what the caller has to do elsewhere.
	Notes []string `json:"notes,omitempty"`
}

// Audience is who an image is shared with.
type Audience struct {
	Accounts      []string `json:"accounts,omitempty"`      // 12 digits
	Organizations []string `json:"organizations,omitempty"` // ARNs
	Units         []string `json:"units,omitempty"`         // ARNs of organisational units
}
