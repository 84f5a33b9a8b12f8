package autoscale

// Mixed is a mixed instances policy.
type Mixed struct {
	None               *bool      `yaml:"none" aws:"-" normal:"false" doc:"true: the group has no such policy"`
	OnDemandBase       *int       `yaml:"on_demand_base" aws:"InstancesDistribution.OnDemandBaseCapacity" normal:"0" doc:"capacity that is always on demand"`
	OnDemandPercentage *int       `yaml:"on_demand_percentage" aws:"InstancesDistribution.OnDemandPercentageAboveBaseCapacity" normal:"100" doc:"percent on demand above the base, 0 to 100; AWS means 100, which buys no spot"`
	OnDemandStrategy   *string    `yaml:"on_demand_strategy" aws:"InstancesDistribution.OnDemandAllocationStrategy" one:"lowest-price|prioritized" doc:"which type is bought on demand"`
	OnDemandSegments   [][]string `yaml:"on_demand_segments" aws:"InstancesDistribution.DistributionSegments[].TargetCapacityTypes" doc:"kinds of reserved and on-demand capacity to try, in this order"`
	SpotStrategy       *string    `yaml:"spot_strategy" aws:"InstancesDistribution.SpotAllocationStrategy" one:"lowest-price|capacity-optimized|capacity-optimized-prioritized|price-capacity-optimized" doc:"which spot pool is bought from"`
	SpotPools          *int       `yaml:"spot_pools" aws:"InstancesDistribution.SpotInstancePools" doc:"number of pools, with spot_strategy lowest-price"`
	SpotMaxPrice       *string    `yaml:"spot_max_price" aws:"InstancesDistribution.SpotMaxPrice" doc:"most to pay for an hour and unit, in USD; '' for the on-demand price"`
	Types              []Override `yaml:"types" aws:"LaunchTemplate.Overrides" doc:"instance types, best first: TYPE, TYPE=WEIGHT or a section"`
}

// Override is one instance type of a mixed policy, and what differs with it.
type Override struct {
	Type         *string       `yaml:"type" aws:"InstanceType" doc:"instance type"`
	Weight       *string       `yaml:"weight" aws:"WeightedCapacity" doc:"units of capacity that one instance counts for, 1 to 999"`
	Requirements *Requirements `yaml:"requirements" aws:"InstanceRequirements" doc:"what a type must have, in place of naming one"`
	Image        *string       `yaml:"image" aws:"ImageId" doc:"image for this type, written as launch.image is"`
	Template     *string       `yaml:"template" aws:"LaunchTemplateSpecification.LaunchTemplateName" doc:"name of another launch template for this type"`
	Version      *string       `yaml:"version" aws:"LaunchTemplateSpecification.Version" doc:"version of that launch template"`
}

// Requirements say what an instance type must have.
type Requirements struct {
	CPUs                *Range      `yaml:"vcpus" aws:"VCpuCount" doc:"number of virtual processors"`
	Memory              *Range      `yaml:"memory_mib" aws:"MemoryMiB" doc:"memory in MiB"`
	MemoryPerCPU        *FloatRange `yaml:"memory_gib_per_vcpu" aws:"MemoryGiBPerVCpu" doc:"memory in GiB of each virtual processor"`
	CPUMakers           []string    `yaml:"cpu_manufacturers" aws:"CpuManufacturers" doc:"makers of the processor"`
	CPULike             []string    `yaml:"cpu_like" aws:"BaselinePerformanceFactors.Cpu.References[].InstanceFamily" doc:"instance family whose processor is the least to have"`
	Generations         []string    `yaml:"generations" aws:"InstanceGenerations" doc:"current or previous types"`
	Allowed             []string    `yaml:"allowed" aws:"AllowedInstanceTypes" doc:"types to choose from; * stands for anything"`
	Excluded            []string    `yaml:"excluded" aws:"ExcludedInstanceTypes" doc:"types not to choose; * stands for anything"`
	BareMetal           *string     `yaml:"bare_metal" aws:"BareMetal" normal:"excluded" doc:"bare metal types"`
	Burstable           *string     `yaml:"burstable" aws:"BurstablePerformance" normal:"excluded" doc:"burstable types"`
	Hibernation         *bool       `yaml:"hibernation" aws:"RequireHibernateSupport" normal:"false" doc:"only types that can hibernate"`
	EncryptedTransit    *bool       `yaml:"encryption_in_transit" aws:"RequireEncryptionInTransit" normal:"false" doc:"only types that encrypt traffic between instances; not in mixed.types"`
	LocalStorage        *string     `yaml:"local_storage" aws:"LocalStorage" normal:"included" doc:"types with instance store volumes"`
	LocalStorageTypes   []string    `yaml:"local_storage_types" aws:"LocalStorageTypes" doc:"kinds of instance store volumes"`
	LocalStorageGB      *FloatRange `yaml:"local_storage_gb" aws:"TotalLocalStorageGB" doc:"instance store in GB"`
	Interfaces          *Range      `yaml:"network_interfaces" aws:"NetworkInterfaceCount" doc:"number of network interfaces"`
	NetworkGbps         *FloatRange `yaml:"network_gbps" aws:"NetworkBandwidthGbps" doc:"network bandwidth in Gbit/s"`
	EBSMbps             *Range      `yaml:"ebs_mbps" aws:"BaselineEbsBandwidthMbps" doc:"bandwidth to volumes in Mbit/s"`
	Accelerators        *Range      `yaml:"accelerators" aws:"AcceleratorCount" doc:"number of accelerators; max 0 for none"`
	AcceleratorTypes    []string    `yaml:"accelerator_types" aws:"AcceleratorTypes" doc:"kinds of accelerators"`
	AcceleratorMakers   []string    `yaml:"accelerator_manufacturers" aws:"AcceleratorManufacturers" doc:"makers of accelerators"`
	AcceleratorNames    []string    `yaml:"accelerator_names" aws:"AcceleratorNames" doc:"accelerators by name"`
	AcceleratorMemory   *Range      `yaml:"accelerator_memory_mib" aws:"AcceleratorTotalMemoryMiB" doc:"memory of accelerators in MiB"`
	SpotPriceLimit      *int        `yaml:"spot_price_limit" aws:"SpotMaxPricePercentageOverLowestPrice" doc:"most to pay for spot, in percent over the cheapest fitting type"`
	SpotPriceOfOnDemand *int        `yaml:"spot_price_of_on_demand" aws:"MaxSpotPriceAsPercentageOfOptimalOnDemandPrice" doc:"most to pay for spot, in percent of the cheapest fitting on-demand price"`
	OnDemandPriceLimit  *int        `yaml:"on_demand_price_limit" aws:"OnDemandMaxPricePercentageOverLowestPrice" doc:"most to pay on demand, in percent over the cheapest fitting type"`
}

// Range is a range of whole numbers; a bound that is left out is open.
type Range struct {
	Min *int `yaml:"min" aws:"Min" doc:"least"`
	Max *int `yaml:"max" aws:"Max" doc:"most"`
}

// FloatRange is a range of numbers; a bound that is left out is open.
type FloatRange struct {
	Min *float64 `yaml:"min" aws:"Min" doc:"least"`
	Max *float64 `yaml:"max" aws:"Max" doc:"most"`
}
