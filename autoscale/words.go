package autoscale

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// counterpart is the structure of AWS that t, a section of the file with a
// call of its own, stands for.
func counterpart(t reflect.Type) (reflect.Type, bool) {
	switch t {
	case reflect.TypeFor[Group]():
		return reflect.TypeFor[as.CreateAutoScalingGroupInput](), true
	case reflect.TypeFor[Launch]():
		return reflect.TypeFor[ec2types.RequestLaunchTemplateData](), true
	case reflect.TypeFor[WarmPool]():
		return reflect.TypeFor[as.PutWarmPoolInput](), true
	case reflect.TypeFor[RefreshSettings]():
		return reflect.TypeFor[astypes.RefreshPreferences](), true
	case reflect.TypeFor[Policy]():
		return reflect.TypeFor[as.PutScalingPolicyInput](), true
	case reflect.TypeFor[Alarm]():
		return reflect.TypeFor[cloudwatch.PutMetricAlarmInput](), true
	case reflect.TypeFor[Schedule]():
		return reflect.TypeFor[as.PutScheduledUpdateGroupActionInput](), true
	case reflect.TypeFor[Hook]():
		return reflect.TypeFor[as.PutLifecycleHookInput](), true
	}
	return nil, false
}

// bare takes pointers, lists and maps off a type.
func bare(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

// place is the type of AWS that field f stands for, within sdk; nil when there
// is none to look up.
func place(f reflect.StructField, sdk reflect.Type) reflect.Type {
	if root, ok := counterpart(bare(f.Type)); ok {
		return root
	}
	tag := f.Tag.Get("aws")
	switch {
	case tag == "-" || sdk == nil:
		return nil
	case tag == "":
		return sdk
	}
	path, _, _ := strings.Cut(tag, "|")
	at := sdk
	for _, segment := range strings.Split(path, ".") {
		name, _, _ := strings.Cut(segment, "[")
		if at.Kind() != reflect.Struct {
			return nil
		}
		member, ok := at.FieldByName(name)
		if !ok {
			return nil
		}
		at = bare(member.Type)
	}
	return at
}

// open are types whose words AWS adds to every week: none is refused here.
func open() []reflect.Type {
	return []reflect.Type{reflect.TypeFor[ec2types.InstanceType](), reflect.TypeFor[ec2types.AcceleratorName](), reflect.TypeFor[astypes.AcceleratorName]()}
}

// words lists what a field may say, in AWS's words; nil for anything.
func words(f reflect.StructField, sdk reflect.Type) []string {
	if one := f.Tag.Get("one"); one != "" {
		return strings.Split(one, "|")
	}
	t := place(f, sdk)
	if bare(f.Type).Kind() != reflect.String || t == nil || t.Kind() != reflect.String || slices.Contains(open(), t) {
		return nil
	}
	method := reflect.Zero(t).MethodByName("Values")
	if !method.IsValid() {
		return nil
	}
	all := method.Call(nil)[0]
	out := make([]string, all.Len())
	for i := range out {
		out[i] = all.Index(i).String()
	}
	return out
}

// words refuses a word that AWS does not know, in v, a section at path.
func (c *checker) words(path string, v reflect.Value, sdk reflect.Type) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.words(path, v.Elem(), sdk)
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.words(path+"."+strconv.Itoa(i), v.Index(i), sdk)
		}
	case reflect.Map:
		for _, k := range sortedKeys(v) {
			c.words(path+"."+k, v.MapIndex(reflect.ValueOf(k)), sdk)
		}
	case reflect.Struct:
		for i, key := range keysOf(v.Type()) {
			f := v.Type().Field(i)
			if allowed := words(f, sdk); allowed != nil {
				c.spoken(join(path, key), v.Field(i), allowed)
			} else {
				c.words(join(path, key), v.Field(i), place(f, sdk))
			}
		}
	}
}

// spoken refuses a word that is not allowed. The empty one takes away.
func (c *checker) spoken(path string, v reflect.Value, allowed []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.spoken(path, v.Elem(), allowed)
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.spoken(path+"."+strconv.Itoa(i), v.Index(i), allowed)
		}
	case reflect.Map:
		for _, k := range sortedKeys(v) {
			c.spoken(path+"."+k, v.MapIndex(reflect.ValueOf(k)), allowed)
		}
	case reflect.String:
		if word := v.String(); word != "" && !slices.Contains(allowed, word) {
			c.say(path, "expected one of %s, got %q", strings.Join(allowed, ", "), word)
		}
	}
}
