%%% The options of a cluster: a part of the table of options (hornbeam_option_table, which says what an entry is). In Erlang and in a configuration
%%% file they may also stand together, as `cluster => #{discovery => ..., cert => ...}' (hornbeam_option_cluster).
-module(hornbeam_option_table_cluster).

-export([cluster/0, base_name/1, address/1]).

-define(MAX_MS, 16#FFFFFFFF).
-define(MIB, 1048576).

-spec cluster() -> [hornbeam_option_types:spec()].
cluster() -> [Spec#{group => cluster, scope => server} || Spec <- who() ++ links() ++ state()].

who() ->
    [#{key => cluster, metavar => "DISCOVERY", type => {optional, {custom, hornbeam_option_cluster}}, default => "",
       doc => "Makes this node a member of a cluster, and says where the others are: static:ADDRESS,ADDRESS,... (or NAME@ADDRESS), "
              "dns:HOST (its A records), srv:_SERVICE._tcp.HOST, folder:PATH (a folder that the nodes share), local (a cluster of this node "
              "alone). \"\" for no cluster."},
     #{key => cluster_name, type => name, default => hornbeam, check => fun base_name/1,
       doc => "Name of the cluster, and of this node before its \"@\". Nodes of another name are refused."},
     #{key => cluster_address, metavar => "ADDRESS", type => {optional, text}, default => "", check => fun address/1,
       doc => "Address (IPv4, or a name with a dot that stands for one) that other nodes reach this one at, and the only one that is listened on; "
              "the node is called NAME@ADDRESS. \"\": the one of this machine's addresses that is among those discovered."},
     #{key => cluster_size, type => {integer, 0, 1000}, default => 0,
       doc => "How many nodes found the cluster the first time; later ones join it. 0: as many as static: names. Needed with dns:, srv: and folder:."},
     #{key => cluster_dir, metavar => "DIR", type => {optional, {custom, hornbeam_option_folder}}, default => "",
       doc => "Folder of mode 0700 (made where it is not there) for what this node keeps of the cluster's state. \"\": the folder cluster in data_dir."}].

links() ->
    [#{key => cluster_port, type => {integer, 1, 65535}, default => 4370,
       doc => "Port that the nodes reach each other at, the same for all of them. There is no epmd."},
     #{key => cluster_cert, metavar => "FILE", type => {optional, {custom, hornbeam_option_file}}, default => "",
       doc => "This node's certificate in PEM, for its address; `hornbeam cluster ca` makes such."},
     #{key => cluster_key, metavar => "FILE", type => {optional, {custom, hornbeam_option_file}}, default => "",
       doc => "Its private key in PEM; \"\" when cluster_cert holds it as well."},
     #{key => cluster_ca, metavar => "FILE", type => {optional, {custom, hornbeam_option_file}}, default => "",
       doc => "Certificates in PEM of the authority (of this cluster alone) that all nodes' certificates are checked against."},
     #{key => cluster_insecure, type => boolean, default => false,
       doc => "Links without TLS, for a network that nobody else is in: who reads along sees everything, who can send is stopped by the cookie alone."},
     #{key => cluster_cookie_file, metavar => "FILE", type => {optional, {custom, hornbeam_option_file}}, default => "",
       doc => "File, readable by its owner alone, with the secret that the nodes share; or HORNBEAM_CLUSTER_COOKIE. \"\": with TLS, one that is "
              "derived from cluster_ca."},
     #{key => cluster_ticktime, type => {integer, 1000, 3600000}, unit => ms, default => 15000,
       doc => "How soon a node that says nothing is taken for dead (net_ticktime); the same for all nodes."}].

state() ->
    [#{key => cluster_ready, type => boolean, default => false,
       doc => "Whether /readyz says so only while this node is with a majority of the cluster."},
     #{key => cluster_timeout, type => {integer, 100, ?MAX_MS}, unit => ms, default => 5000,
       doc => "How long an operation on what is replicated may take, before its caller is told that it may or may not be done."},
     #{key => cluster_max_bytes, type => {integer, ?MIB, 16#FFFFFFFFFFFF}, unit => bytes, default => 256 * ?MIB,
       doc => "Keys and values of cluster_state together; beyond it writes are refused."},
     #{key => cluster_forget_after, type => {limit, 60000, ?MAX_MS}, unit => ms, default => infinity,
       doc => "How long a member may be away before the others go on without it for good; infinity for ever, until `hornbeam cluster forget`."}].

%% --- what a type alone cannot say ----------------------------------------------------------------------------------

-spec base_name(atom()) -> ok | hornbeam_option_types:problem().
base_name(Name) ->
    case re:run(atom_to_binary(Name), "^[a-zA-Z][a-zA-Z0-9_-]*$", [dollar_endonly]) of
        {match, _} -> ok;
        nomatch -> {error, "must be a name without \"@\" and \".\"", Name}
    end.

-spec address(binary()) -> ok | hornbeam_option_types:problem().
address(<<>>) -> ok;
address(Address) ->
    case hornbeam_option_cluster:is_address(Address) of
        true -> ok;
        false -> {error, "must be an IPv4 address, or a host name with a dot", Address}
    end.
