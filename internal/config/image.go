package config

// Image says what images are called and how long they last.
type Image struct {
	Name           string `yaml:"name" is:"imagename" default:"{role}-{bake}" doc:"name of the image; {role}, {environment}, {bake}, {date}, {time}, {arch}, {base} and {inputs} are filled in"`
	Description    string `yaml:"description" is:"description" doc:"its description, filled in as the name is"`
	DeprecateAfter string `yaml:"deprecate_after" is:"age" doc:"age at which EC2 stops offering the image, as 90d"`
	// CopyTo has a key of each region, or nothing where the copy is as the image.
	CopyTo                map[string]string `yaml:"copy_to" is:"copyto" doc:"regions that the image is copied to, each with the KMS key there that encrypts the copy, or nothing"`
	ShareWith             []string          `yaml:"share_with" is:"sharee" one:"yes" doc:"accounts, or ARNs of organisations and their units, that may use the image and its copies"`
	Inventory             string            `yaml:"inventory" is:"s3place" doc:"where in S3 inventories are kept beside the state folder, so that bake-ami diff finds them from any machine; a bucket in the bake's region"`
	PublishSSM            []string          `yaml:"publish_ssm" is:"parameter" one:"yes" doc:"SSM parameters that get the image's id once it is finished, in every region that has it"`
	PublishLaunchTemplate string            `yaml:"publish_launch_template" is:"template" doc:"launch template that gets a version with the image, by name or id"`
	DeprecatePredecessors string            `yaml:"deprecate_predecessors" is:"agenow" doc:"when EC2 stops offering the role's earlier images, counted from publication: now, or an age such as 30d"`
	Protect               bool              `yaml:"protect" is:"yesno" default:"false" doc:"protect the image against being deregistered"`
}
