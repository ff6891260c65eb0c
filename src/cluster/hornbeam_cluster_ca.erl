%%% A certificate authority for one cluster, and certificates for its nodes: `hornbeam cluster ca DIR [ADDRESS...]', for who has no authority of their own.
%%%
%%% Owns what is in DIR: ca.pem and ca-key.pem, made once, and ADDRESS.pem and ADDRESS-key.pem for each node. Nothing that is there is ever written
%%% again: another run with the same DIR adds certificates by the same authority. Called by hornbeam_cli. Calls
%%% hornbeam_option_table_cluster (what an address is), public_key and crypto.
%%%
%%% ECDSA on P-256, which every TLS of OTP takes. A node's certificate is for both sides of a link, and names its address as a DNS name as well where
%%% that is an IP address, since OTP looks there. Limits: the authority lasts ten years, a node's certificate two, and no longer than the authority; there are no
%%% revocation lists: a node that must not come back is left out by an authority of the others' own (docs/clustering.md).
%%%
%%% The records of public_key.hrl are written as tuples: their fields have no types, which this project's flags refuse.
-module(hornbeam_cluster_ca).

-export([command/1, make/2]).

-type report() :: {made | kept, file:filename()}.
%% #'ECPrivateKey'{}
-type key() :: tuple().
%% What signs: the authority's name, key and end.
-type issuer() :: {Subject :: term(), key(), Ends :: calendar:datetime()}.

%% RFC 5280, 4.2 and appendix A; RFC 5480, 2.1.1; RFC 5758, 3.2.
-define(BASIC_CONSTRAINTS, {2, 5, 29, 19}).
-define(KEY_USAGE, {2, 5, 29, 15}).
-define(EXTENDED_KEY_USAGE, {2, 5, 29, 37}).
-define(SERVER_AUTH, {1, 3, 6, 1, 5, 5, 7, 3, 1}).
-define(CLIENT_AUTH, {1, 3, 6, 1, 5, 5, 7, 3, 2}).
-define(SUBJECT_ALT_NAME, {2, 5, 29, 17}).
-define(SUBJECT_KEY_ID, {2, 5, 29, 14}).
-define(AUTHORITY_KEY_ID, {2, 5, 29, 35}).
-define(COMMON_NAME, {2, 5, 4, 3}).
-define(EC_PUBLIC_KEY, {1, 2, 840, 10045, 2, 1}).
-define(ECDSA_WITH_SHA256, {1, 2, 840, 10045, 4, 3, 2}).

-define(DAY, 86400).
-define(CA_SECONDS, 3652 * ?DAY).
-define(NODE_SECONDS, 730 * ?DAY).
%% Clocks of nodes may differ.
-define(BEFORE, 3600).

%% @doc What follows `hornbeam cluster ca'.
-spec command([string()]) -> {ok, iodata()} | {error, iodata()} | {usage, iodata()}.
command([]) ->
    {usage, "cluster ca needs a folder: hornbeam cluster ca DIR [ADDRESS...]"};
command([Folder | Addresses]) ->
    case {[Flag || "-" ++ _ = Flag <- [Folder | Addresses]], Folder} of
        {[Flag | _], _} -> {usage, ["unknown flag ", Flag]};
        {[], ""} -> {usage, "cluster ca needs a folder"};
        {[], _} ->
            case make(Folder, Addresses) of
                {ok, Files} -> {ok, [line(File) || File <- Files]};
                {error, Text} -> {error, Text}
            end
    end.

line({made, File}) -> [File, "\n"];
line({kept, File}) -> [File, " was there already\n"].

%% @doc The files that are there now, each with whether this run has made it.
-spec make(file:filename(), [string()]) -> {ok, [report()]} | {error, iodata()}.
make(Folder, Written) ->
    Addresses = [lists:last(string:split(Each, "@")) || Each <- Written],
    case [Each || Each <- Addresses, Each =:= "" orelse hornbeam_option_table_cluster:address(unicode:characters_to_binary(Each)) =/= ok] of
        [] ->
            case folder(Folder) of
                ok -> with_authority(authority(Folder), Folder, lists:usort(Addresses));
                {error, Text} -> {error, Text}
            end;
        [Wrong | _] ->
            {error, [hornbeam_option_text:show(Wrong), " is no address of a node: an IPv4 address, or a host name with a dot"]}
    end.

folder(Folder) ->
    case filelib:is_dir(Folder) of
        true -> ok;
        false ->
            case {filelib:ensure_dir(Folder), file:make_dir(Folder)} of
                {ok, ok} -> ok = file:change_mode(Folder, 8#700);
                {_, {error, Reason}} -> failed(Folder, Reason)
            end
    end.

with_authority({ok, Issuer, Report}, Folder, Addresses) -> nodes(Addresses, Issuer, Folder, Report);
with_authority({error, Text}, _, _) -> {error, Text}.

nodes([Address | Rest], Issuer, Folder, Done) ->
    {Cert, Key} = {filename:join(Folder, Address ++ ".pem"), filename:join(Folder, Address ++ "-key.pem")},
    case {is_there(Cert), is_there(Key)} of
        {true, true} ->
            nodes(Rest, Issuer, Folder, [{kept, Cert} | Done]);
        {false, false} ->
            case write(Key, Cert, node_certificate(Address, Issuer)) of
                ok -> nodes(Rest, Issuer, Folder, [{made, Cert} | Done]);
                {error, Text} -> {error, Text}
            end;
        {_, _} ->
            {error, ["of ", Cert, " and ", Key, " one is there alone; remove it, and both are made"]}
    end;
nodes([], _, _, Done) ->
    {ok, lists:reverse(Done)}.

%% --- the authority ---------------------------------------------------------------------------------------------------

-spec authority(file:filename()) -> {ok, issuer(), [report()]} | {error, iodata()}.
authority(Folder) ->
    {Cert, Key} = {filename:join(Folder, "ca.pem"), filename:join(Folder, "ca-key.pem")},
    case {is_there(Cert), is_there(Key)} of
        {true, true} -> read_authority(Cert, Key);
        {false, false} ->
            {Der, Private, Issuer} = new_authority(),
            case write(Key, Cert, {Der, Private}) of
                ok -> {ok, Issuer, [{made, Cert}]};
                {error, Text} -> {error, Text}
            end;
        {true, false} -> {error, [Key, " is not there: certificates are made where the authority's key is"]};
        {false, true} -> {error, [Cert, " is not there, but its key is"]}
    end.

read_authority(CertFile, KeyFile) ->
    case {entries(CertFile), entries(KeyFile)} of
        {{ok, [{'Certificate', Der, not_encrypted} | _]}, {ok, [{'ECPrivateKey', _, not_encrypted} = Entry | _]}} ->
            {'OTPCertificate', {'OTPTBSCertificate', _, _, _, _, {'Validity', _, Ends}, Subject, _, _, _, _}, _, _} = public_key:pkix_decode_cert(Der, otp),
            case datetime(Ends) > calendar:universal_time() of
                true -> {ok, {Subject, public_key:pem_entry_decode(Entry), datetime(Ends)}, [{kept, CertFile}]};
                false -> {error, [CertFile, " is over since ", text(datetime(Ends))]}
            end;
        {{error, Reason}, _} -> failed(CertFile, Reason);
        {_, {error, Reason}} -> failed(KeyFile, Reason);
        _ -> {error, [CertFile, " and ", KeyFile, " are not what this command has made"]}
    end.

entries(File) ->
    case file:read_file(File) of
        {ok, Pem} -> {ok, public_key:pem_decode(Pem)};
        {error, Reason} -> {error, Reason}
    end.

new_authority() ->
    Key = new_key(),
    Number = binary:encode_hex(crypto:strong_rand_bytes(4)),
    Subject = name(["Hornbeam cluster ", string:lowercase(Number)]),
    Ends = from_now(?CA_SECONDS),
    Extensions = [extension(?BASIC_CONSTRAINTS, true, {'BasicConstraints', true, 0}),
                  extension(?KEY_USAGE, true, [keyCertSign, cRLSign]),
                  extension(?SUBJECT_KEY_ID, false, key_id(Key))],
    {certificate(Subject, Key, Extensions, Ends, {Subject, Key, Ends}), Key, {Subject, Key, Ends}}.

%% --- a node ----------------------------------------------------------------------------------------------------------

node_certificate(Address, {_, IssuerKey, IssuerEnds} = Issuer) ->
    Key = new_key(),
    Names = case inet:parse_ipv4strict_address(Address) of
        {ok, Ip} -> [{iPAddress, list_to_binary(tuple_to_list(Ip))}, {dNSName, Address}];
        {error, _} -> [{dNSName, Address}]
    end,
    Extensions = [extension(?BASIC_CONSTRAINTS, true, {'BasicConstraints', false, asn1_NOVALUE}),
                  extension(?KEY_USAGE, true, [digitalSignature]),
                  extension(?EXTENDED_KEY_USAGE, false, [?SERVER_AUTH, ?CLIENT_AUTH]),
                  extension(?SUBJECT_ALT_NAME, false, Names),
                  extension(?SUBJECT_KEY_ID, false, key_id(Key)),
                  extension(?AUTHORITY_KEY_ID, false, {'AuthorityKeyIdentifier', key_id(IssuerKey), asn1_NOVALUE, asn1_NOVALUE})],
    {certificate(name([Address]), Key, Extensions, min(from_now(?NODE_SECONDS), IssuerEnds), Issuer), Key}.

certificate(Subject, Key, Extensions, Ends, {IssuerName, IssuerKey, _}) ->
    Validity = {'Validity', time(from_now(-?BEFORE)), time(Ends)},
    Public = {'OTPSubjectPublicKeyInfo', {'PublicKeyAlgorithm', ?EC_PUBLIC_KEY, element(4, Key)}, {'ECPoint', public(Key)}},
    Signature = {'SignatureAlgorithm', ?ECDSA_WITH_SHA256, asn1_NOVALUE},
    public_key:pkix_sign({'OTPTBSCertificate', v3, serial(), Signature, IssuerName, Validity, Subject, Public, asn1_NOVALUE, asn1_NOVALUE, Extensions},
                         IssuerKey).

%% {'ECPrivateKey', Version, Private, Curve, Public, ...}
-spec public(key()) -> binary().
public(Key) -> element(5, Key).

new_key() -> public_key:generate_key({namedCurve, secp256r1}).

%% RFC 5280, 4.1.2.2: positive, of at most 20 octets.
serial() -> binary:decode_unsigned(<<1, (crypto:strong_rand_bytes(16))/binary>>).

%% RFC 5280, 4.2.1.2, method 1.
key_id(Key) -> crypto:hash(sha, public(Key)).

extension(Id, Critical, Value) -> {'Extension', Id, Critical, Value}.

name(Text) ->
    Value = {utf8String, unicode:characters_to_binary(Text)},
    {rdnSequence, [[{'AttributeTypeAndValue', ?COMMON_NAME, Value}]]}.

%% --- times -----------------------------------------------------------------------------------------------------------

from_now(Seconds) ->
    calendar:gregorian_seconds_to_datetime(calendar:datetime_to_gregorian_seconds(calendar:universal_time()) + Seconds).

%% RFC 5280, 4.1.2.5: two digits of the year until 2049, four from then on.
time({{Year, _, _}, _} = At) when Year < 2050 -> {utcTime, lists:nthtail(2, digits(At))};
time(At) -> {generalTime, digits(At)}.

digits({{Year, Month, Day}, {Hour, Minute, Second}}) ->
    lists:flatten(io_lib:format("~4..0b~2..0b~2..0b~2..0b~2..0b~2..0bZ", [Year, Month, Day, Hour, Minute, Second])).

datetime({utcTime, Digits}) -> datetime({generalTime, "20" ++ Digits});
datetime({generalTime, Digits}) ->
    {ok, [Year, Month, Day, Hour, Minute, Second], _} = io_lib:fread("~4d~2d~2d~2d~2d~2d", Digits),
    {{Year, Month, Day}, {Hour, Minute, Second}}.

text({{Year, Month, Day}, _}) -> io_lib:format("~4..0b-~2..0b-~2..0b", [Year, Month, Day]).

%% --- files -----------------------------------------------------------------------------------------------------------

%% Links that lead nowhere count as well.
is_there(File) -> file:read_link_info(File) =/= {error, enoent}.

write(KeyFile, CertFile, {Der, Key}) ->
    case create(KeyFile, 8#600, public_key:pem_encode([public_key:pem_entry_encode('ECPrivateKey', Key)])) of
        ok -> create(CertFile, 8#644, public_key:pem_encode([{'Certificate', Der, not_encrypted}]));
        {error, Text} -> {error, Text}
    end.

%% Nobody can have opened it by the time when there is something in it.
create(File, Mode, Content) ->
    case file:open(File, [write, exclusive, raw, binary]) of
        {ok, Device} ->
            try
                ok = file:change_mode(File, Mode),
                ok = file:write(Device, Content),
                ok = file:sync(Device)
            after
                file:close(Device)
            end;
        {error, Reason} ->
            failed(File, Reason)
    end.

failed(File, Reason) -> {error, [File, ": ", file:format_error(Reason)]}.
