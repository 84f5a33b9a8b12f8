package watch

import (
	"slices"
	"strings"
)

// tagged is the alarm whose tags a call is about, by its ARN.
func (s *Store) tagged(in map[string]any) (*alarm, error) {
	_, name, _ := strings.Cut(str(in, "ResourceARN"), ":alarm:")
	return s.named(map[string]any{"AlarmName": name})
}

func (s *Store) listTags(in map[string]any) (map[string]any, error) {
	a, err := s.tagged(in)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Tags": append([]any{}, items(a.fields["Tags"])...)}, nil
}

// tag adds tags and replaces those of the same keys.
func (s *Store) tag(in map[string]any) (map[string]any, error) {
	a, err := s.tagged(in)
	if err != nil {
		return nil, err
	}
	fresh := items(in["Tags"])
	var keys []string
	for _, t := range fresh {
		keys = append(keys, str(fieldsOf(t), "Key"))
	}
	a.fields["Tags"] = append(without(items(a.fields["Tags"]), keys), fresh...)
	return map[string]any{}, nil
}

func (s *Store) untag(in map[string]any) (map[string]any, error) {
	a, err := s.tagged(in)
	if err != nil {
		return nil, err
	}
	a.fields["Tags"] = without(items(a.fields["Tags"]), texts(in["TagKeys"]))
	return map[string]any{}, nil
}

// without is tags but for those of keys.
func without(tags []any, keys []string) []any {
	return slices.DeleteFunc(slices.Clone(tags), func(t any) bool { return slices.Contains(keys, str(fieldsOf(t), "Key")) })
}
