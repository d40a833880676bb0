-- As hive.sql, for Iceberg tables.

create schema lake.ice

create table lake.ice.customers as select * from sales.public.customers

select count(*) from lake.ice.customers i join sales.public.customers s on i.customer_id = s.customer_id and i.created_at = s.created_at and i.revenue = s.revenue
--> 100

insert into lake.ice.customers select customer_id + 100000, customer_name, email, phone, region, segment, revenue, created_at, updated_at from sales.public.customers where customer_id <= 10

select count(*) from lake.ice.customers
--> 110

create table lake.ice.orders with (partitioning = array['month(ordered_at)'], format = 'PARQUET') as select * from sales.public.orders

select count(*), count(distinct "$path") > 3 from lake.ice.orders
--> 400,true

select count(*) = (select count(distinct date_trunc('month', ordered_at)) from lake.ice.orders) from lake.ice."orders$partitions"
--> true

update lake.ice.customers set segment = 'vip' where customer_id = 1

delete from lake.ice.customers where customer_id > 100000

merge into lake.ice.customers t using (select bigint '2' as customer_id union all select bigint '200001') s on t.customer_id = s.customer_id
when matched then update set segment = 'gold'
when not matched then insert (customer_id, segment) values (s.customer_id, 'new')

select count(*), count_if(segment in ('vip', 'gold', 'new')) from lake.ice.customers
--> 101,3

alter table lake.ice.customers add column note varchar

alter table lake.ice.customers rename column note to remark

select count(*) from lake.ice.customers where remark is null
--> 101

analyze lake.ice.customers

alter table lake.ice.customers execute optimize

select count(*) >= 6 from lake.ice."customers$snapshots"
--> true

alter table lake.ice.customers execute expire_snapshots(retention_threshold => '7d')

alter table lake.ice.customers execute remove_orphan_files(retention_threshold => '7d')

create table lake.ice.typed (i uuid, t timestamp(6) with time zone, a array(integer), m map(varchar, decimal(14,2)), r row(x integer, y varchar))

insert into lake.ice.typed values (uuid '12151fd2-7586-11e9-8f9e-2a86e4085a59', timestamp '2026-01-31 12:00:00.123456 UTC', array[1, 2], map(array['k'], array[decimal '1.50']), row(1, 'z'))

select i = uuid '12151fd2-7586-11e9-8f9e-2a86e4085a59', t = timestamp '2026-01-31 12:00:00.123456 UTC', a[2], m['k'], r.y from lake.ice.typed
--> true,true,2,1.50,z

create or replace view lake.ice.by_region as select region, count(*) as n from lake.ice.customers group by 1

select sum(n) from lake.ice.by_region
--> 101

create materialized view lake.ice.kept as select segment, count(*) as n from lake.ice.customers group by 1

refresh materialized view lake.ice.kept

select sum(n) from lake.ice.kept
--> 101

create table lake.ice.same as select 1 as n

create table hive.default.same as select 2 as n

drop table lake.ice.same

select n from hive.default.same
--> 2

drop table hive.default.same

drop materialized view lake.ice.kept

drop view lake.ice.by_region

drop table lake.ice.typed

drop table lake.ice.customers

drop table lake.ice.orders

drop schema lake.ice
