package autoscale

// Launch is what an instance is made of: one version of a launch template.
type Launch struct {
	Template           *string                      `yaml:"template" aws:"-" doc:"name of the launch template; made from the group's when absent"`
	Image              *string                      `yaml:"image" aws:"ImageId" doc:"ami-ID, ssm:/NAME of a parameter that holds one, or role:NAME for the newest proven image of a role"`
	Type               *string                      `yaml:"type" aws:"InstanceType" doc:"instance type"`
	Requirements       *Requirements                `yaml:"requirements" aws:"InstanceRequirements" doc:"what a type must have, in place of naming one"`
	Key                *string                      `yaml:"key" aws:"KeyName" doc:"name of the SSH key"`
	SecurityGroups     []string                     `yaml:"security_groups" aws:"-" doc:"ids, or names in the default VPC"`
	Profile            *string                      `yaml:"profile" aws:"-" doc:"instance profile, by name or ARN"`
	UserData           *string                      `yaml:"user_data" aws:"-" doc:"as the instance sees it, not encoded, at most 16 KiB; base64:DATA for what is no text"`
	Monitoring         *bool                        `yaml:"monitoring" aws:"Monitoring.Enabled" normal:"false" doc:"metrics each minute in place of five"`
	EBSOptimized       *bool                        `yaml:"ebs_optimized" aws:"EbsOptimized" normal:"false" doc:"bandwidth of its own for volumes, on types that do not always have it"`
	Metadata           *Metadata                    `yaml:"metadata" aws:"MetadataOptions" doc:"the instance metadata service"`
	Market             *string                      `yaml:"market" aws:"InstanceMarketOptions.MarketType" doc:"how it is bought; spot when spot is given"`
	Spot               *SpotOptions                 `yaml:"spot" aws:"InstanceMarketOptions.SpotOptions" doc:"terms of a spot instance"`
	BlockDevices       map[string]BlockDevice       `yaml:"block_devices" aws:"BlockDeviceMappings" key:"DeviceName" doc:"volumes, by device name such as /dev/sda1"`
	Interfaces         []Interface                  `yaml:"interfaces" aws:"NetworkInterfaces" doc:"network interfaces; their groups stand in for security_groups"`
	Secondary          []SecondaryInterface         `yaml:"secondary_interfaces" aws:"SecondaryInterfaces" doc:"interfaces of secondary networks"`
	Credits            *string                      `yaml:"credits" aws:"CreditSpecification.CpuCredits" one:"standard|unlimited" doc:"of burstable types"`
	CPU                *CPU                         `yaml:"cpu" aws:"CpuOptions" doc:"cores and threads"`
	Placement          *Placement                   `yaml:"placement" aws:"Placement" doc:"hosts, tenancy and placement groups"`
	Reservation        *Reservation                 `yaml:"reservation" aws:"CapacityReservationSpecification" doc:"capacity reservation of each instance"`
	Hostnames          *Hostnames                   `yaml:"hostnames" aws:"PrivateDnsNameOptions" doc:"private DNS names"`
	Enclave            *bool                        `yaml:"enclave" aws:"EnclaveOptions.Enabled" normal:"false" doc:"allow Nitro enclaves"`
	Hibernation        *bool                        `yaml:"hibernation" aws:"HibernationOptions.Configured" normal:"false" doc:"make the instance ready to hibernate"`
	Licenses           []string                     `yaml:"licenses" aws:"LicenseSpecifications[].LicenseConfigurationArn" doc:"ARNs of licence configurations"`
	Recovery           *string                      `yaml:"recovery" aws:"MaintenanceOptions.AutoRecovery" normal:"default" doc:"automatic recovery from faults of the host"`
	Bandwidth          *string                      `yaml:"bandwidth" aws:"NetworkPerformanceOptions.BandwidthWeighting" normal:"default" doc:"weight bandwidth towards the network or towards volumes"`
	Shutdown           *string                      `yaml:"shutdown" aws:"InstanceInitiatedShutdownBehavior" doc:"what a shutdown from within does"`
	DisableStop        *bool                        `yaml:"disable_stop" aws:"DisableApiStop" normal:"false" doc:"refuse to stop instances by call"`
	DisableTermination *bool                        `yaml:"disable_termination" aws:"DisableApiTermination" normal:"false" doc:"refuse to terminate instances by call"`
	Tags               map[string]map[string]string `yaml:"tags" aws:"TagSpecifications" doc:"tags by what is launched: instance, volume, network-interface or spot-instances-request"`
	Kernel             *string                      `yaml:"kernel" aws:"KernelId" doc:"id of a kernel, for paravirtual images"`
	RAMDisk            *string                      `yaml:"ram_disk" aws:"RamDiskId" doc:"id of a RAM disk, for paravirtual images"`
}

// BuysSpot says that every instance is a spot instance.
func (l Launch) BuysSpot() bool { return l.Spot != nil || val(l.Market) == "spot" }

// Metadata are the options of the instance metadata service.
type Metadata struct {
	Tokens   *string `yaml:"tokens" aws:"HttpTokens" doc:"whether version 2 of the service is demanded"`
	HopLimit *int    `yaml:"hop_limit" aws:"HttpPutResponseHopLimit" doc:"network hops that a token travels, 1 to 64; containers need 2"`
	Endpoint *string `yaml:"endpoint" aws:"HttpEndpoint" doc:"switches the service on or off"`
	IPv6     *string `yaml:"ipv6" aws:"HttpProtocolIpv6" doc:"its address of IP version 6"`
	Tags     *string `yaml:"tags" aws:"InstanceMetadataTags" doc:"whether the instance can read its tags there"`
}

// SpotOptions are the terms of a spot instance.
type SpotOptions struct {
	MaxPrice     *string `yaml:"max_price" aws:"MaxPrice" doc:"most to pay for an hour, in USD; the on-demand price when absent"`
	Request      *string `yaml:"request" aws:"SpotInstanceType" doc:"groups take only one-time"`
	Interruption *string `yaml:"interruption" aws:"InstanceInterruptionBehavior" doc:"what becomes of an interrupted instance; groups take only terminate"`
	ValidUntil   *string `yaml:"valid_until" aws:"ValidUntil" doc:"end of a persistent request, such as 2026-11-23T19:00:00Z"`
}

// BlockDevice is one volume of an instance.
type BlockDevice struct {
	Size      *int    `yaml:"size" aws:"Ebs.VolumeSize" doc:"GiB"`
	Type      *string `yaml:"type" aws:"Ebs.VolumeType" doc:"kind of volume"`
	IOPS      *int    `yaml:"iops" aws:"Ebs.Iops" doc:"operations a second, of gp3, io1 and io2"`
	Through   *int    `yaml:"throughput" aws:"Ebs.Throughput" doc:"MiB a second, of gp3"`
	Encrypted *bool   `yaml:"encrypted" aws:"Ebs.Encrypted" doc:"encrypt the volume"`
	Key       *string `yaml:"kms_key" aws:"Ebs.KmsKeyId" doc:"key to encrypt it with: id, alias or ARN"`
	Snapshot  *string `yaml:"snapshot" aws:"Ebs.SnapshotId" doc:"id of the snapshot it starts from"`
	Delete    *bool   `yaml:"delete" aws:"Ebs.DeleteOnTermination" doc:"delete it with the instance"`
	Rate      *int    `yaml:"initialization_rate" aws:"Ebs.VolumeInitializationRate" doc:"MiB a second at which the snapshot is read, 100 to 300"`
	Card      *int    `yaml:"card" aws:"Ebs.EbsCardIndex" doc:"index of the EBS card"`
	Virtual   *string `yaml:"virtual" aws:"VirtualName" doc:"instance store volume, such as ephemeral0, in place of all above"`
	Omit      *bool   `yaml:"omit" aws:"NoDevice" normal:"false" doc:"leave out a device that the image has"`
}

// Interface is one network interface of an instance.
type Interface struct {
	Device         *int      `yaml:"device" aws:"DeviceIndex" doc:"index of the device; 0 is the primary one"`
	Card           *int      `yaml:"card" aws:"NetworkCardIndex" doc:"index of the network card"`
	Type           *string   `yaml:"type" aws:"InterfaceType" doc:"interface, efa or efa-only"`
	ID             *string   `yaml:"id" aws:"NetworkInterfaceId" doc:"id of an interface that exists"`
	Description    *string   `yaml:"description" aws:"Description" doc:"any text"`
	Groups         []string  `yaml:"groups" aws:"Groups" doc:"ids of security groups"`
	Subnet         *string   `yaml:"subnet" aws:"SubnetId" doc:"id of a subnet; the group's subnets when absent"`
	PublicIP       *bool     `yaml:"public_ip" aws:"AssociatePublicIpAddress" doc:"give it a public address"`
	CarrierIP      *bool     `yaml:"carrier_ip" aws:"AssociateCarrierIpAddress" doc:"give it a carrier address, in wavelength zones"`
	Delete         *bool     `yaml:"delete" aws:"DeleteOnTermination" doc:"delete it with the instance"`
	IP             *string   `yaml:"ip" aws:"PrivateIpAddress" doc:"primary private address"`
	IPs            []Address `yaml:"ips" aws:"PrivateIpAddresses" doc:"private addresses"`
	IPCount        *int      `yaml:"ip_count" aws:"SecondaryPrivateIpAddressCount" doc:"number of secondary private addresses"`
	Prefixes       []string  `yaml:"prefixes" aws:"Ipv4Prefixes[].Ipv4Prefix" doc:"delegated prefixes"`
	PrefixCount    *int      `yaml:"prefix_count" aws:"Ipv4PrefixCount" doc:"number of delegated prefixes"`
	IPv6           []string  `yaml:"ipv6" aws:"Ipv6Addresses[].Ipv6Address" doc:"addresses of IP version 6"`
	IPv6Count      *int      `yaml:"ipv6_count" aws:"Ipv6AddressCount" doc:"number of addresses of IP version 6"`
	IPv6Prefixes   []string  `yaml:"ipv6_prefixes" aws:"Ipv6Prefixes[].Ipv6Prefix" doc:"delegated prefixes of IP version 6"`
	IPv6PrefixCont *int      `yaml:"ipv6_prefix_count" aws:"Ipv6PrefixCount" doc:"number of delegated prefixes of IP version 6"`
	IPv6Primary    *bool     `yaml:"ipv6_primary" aws:"PrimaryIpv6" doc:"keep the first address of IP version 6 for the life of the instance"`
	Queues         *int      `yaml:"ena_queues" aws:"EnaQueueCount" doc:"number of ENA queues"`
	ENAExpress     *ENA      `yaml:"ena_express" aws:"EnaSrdSpecification" doc:"ENA Express"`
	Tracking       *Tracking `yaml:"tracking" aws:"ConnectionTrackingSpecification" doc:"how long idle connections are tracked"`
}

// Address is a private address of an interface.
type Address struct {
	IP      *string `yaml:"ip" aws:"PrivateIpAddress" doc:"the address"`
	Primary *bool   `yaml:"primary" aws:"Primary" normal:"false" doc:"it is the primary one"`
}

// ENA is ENA Express of an interface.
type ENA struct {
	Enabled *bool `yaml:"enabled" aws:"EnaSrdEnabled" normal:"false" doc:"for TCP"`
	UDP     *bool `yaml:"udp" aws:"EnaSrdUdpSpecification.EnaSrdUdpEnabled" normal:"false" doc:"for UDP, too"`
}

// Tracking says for how many seconds idle connections are tracked.
type Tracking struct {
	TCP       *int `yaml:"tcp" aws:"TcpEstablishedTimeout" doc:"seconds, 60 to 432000"`
	UDPStream *int `yaml:"udp_stream" aws:"UdpStreamTimeout" doc:"seconds, 60 to 180"`
	UDP       *int `yaml:"udp" aws:"UdpTimeout" doc:"seconds, 30 to 60"`
}

// SecondaryInterface is an interface of a secondary network.
type SecondaryInterface struct {
	Device  *int     `yaml:"device" aws:"DeviceIndex" doc:"index of the device"`
	Card    *int     `yaml:"card" aws:"NetworkCardIndex" doc:"index of the network card"`
	Type    *string  `yaml:"type" aws:"InterfaceType" doc:"kind of interface"`
	Subnet  *string  `yaml:"subnet" aws:"SecondarySubnetId" doc:"id of a secondary subnet"`
	Delete  *bool    `yaml:"delete" aws:"DeleteOnTermination" doc:"delete it with the instance"`
	IPs     []string `yaml:"ips" aws:"PrivateIpAddresses[].PrivateIpAddress" doc:"private addresses"`
	IPCount *int     `yaml:"ip_count" aws:"PrivateIpAddressCount" doc:"number of private addresses"`
}

// CPU are options of the processor.
type CPU struct {
	Cores   *int    `yaml:"cores" aws:"CoreCount" doc:"number of cores"`
	Threads *int    `yaml:"threads" aws:"ThreadsPerCore" doc:"threads of each core; 1 switches simultaneous threads off"`
	SEVSNP  *string `yaml:"amd_sev_snp" aws:"AmdSevSnp" doc:"memory encryption of AMD processors"`
	Nested  *string `yaml:"nested_virtualization" aws:"NestedVirtualization" doc:"virtual machines within the instance"`
}

// Placement says on which hosts an instance runs.
type Placement struct {
	Tenancy   *string `yaml:"tenancy" aws:"Tenancy" doc:"shared or dedicated hardware"`
	Group     *string `yaml:"group" aws:"GroupName" doc:"name of a placement group"`
	GroupID   *string `yaml:"group_id" aws:"GroupId" doc:"id of a placement group, in place of its name"`
	Partition *int    `yaml:"partition" aws:"PartitionNumber" doc:"number of the partition of the placement group"`
	Host      *string `yaml:"host" aws:"HostId" doc:"id of a dedicated host"`
	HostGroup *string `yaml:"host_group" aws:"HostResourceGroupArn" doc:"ARN of a host resource group"`
	Affinity  *string `yaml:"affinity" aws:"Affinity" doc:"affinity to the dedicated host"`
	Zone      *string `yaml:"zone" aws:"AvailabilityZone" doc:"name of a zone; the group's network goes before it"`
	ZoneID    *string `yaml:"zone_id" aws:"AvailabilityZoneId" doc:"id of a zone, in place of its name"`
}

// Reservation is the capacity reservation of each instance.
type Reservation struct {
	Preference *string `yaml:"preference" aws:"CapacityReservationPreference" doc:"open, none or only"`
	ID         *string `yaml:"id" aws:"CapacityReservationTarget.CapacityReservationId" doc:"id of a capacity reservation"`
	Group      *string `yaml:"group" aws:"CapacityReservationTarget.CapacityReservationResourceGroupArn" doc:"ARN of a resource group of them"`
}

// Hostnames are the private DNS names of an instance.
type Hostnames struct {
	Type *string `yaml:"type" aws:"HostnameType" doc:"made of the address or of the id"`
	A    *bool   `yaml:"a" aws:"EnableResourceNameDnsARecord" normal:"false" doc:"answer A queries for the name made of the id"`
	AAAA *bool   `yaml:"aaaa" aws:"EnableResourceNameDnsAAAARecord" normal:"false" doc:"answer AAAA queries for it"`
}
