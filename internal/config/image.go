package config

// Image says what images are called and how long they last.
type Image struct {
	Name           string `yaml:"name" is:"imagename" default:"{role}-{bake}" doc:"name of the image; {role}, {environment}, {bake}, {date}, {time}, {arch}, {base} and {inputs} are filled in"`
	Description    string `yaml:"description" is:"description" doc:"its description, filled in as the name is"`
	DeprecateAfter string `yaml:"deprecate_after" is:"age" doc:"age at which EC2 stops offering the image, as 90d"`
	Protect        bool   `yaml:"protect" is:"yesno" default:"false" doc:"protect the image against being deregistered"`
}
